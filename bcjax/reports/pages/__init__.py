"""What every page is made of: charts, colours, pictures, styles, and how a page is written."""
