"""From a movie and a network to a super-resolution image and localizations."""
