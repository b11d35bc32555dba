from bcjax.augment import docs


def test_the_page_is_what_the_table_says():
    assert docs.PAGE.read_text() == docs.render(), "run python -m bcjax.augment.docs"
