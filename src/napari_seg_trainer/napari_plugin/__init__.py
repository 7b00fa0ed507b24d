"""What napari shows: widgets, readers, writers and commands; the only room that knows napari and Qt."""
