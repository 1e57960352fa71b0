"""Single emitters in what a network expects: their places and their light."""
