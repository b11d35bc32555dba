"""What every page is made of: sections, tables, charts and pictures, as HTML and as Markdown."""
