"""An extension of bcjax: a network and parts of training of one's own."""
