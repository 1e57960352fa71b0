"""Single emitters found and fitted one by one, by maximum likelihood."""
