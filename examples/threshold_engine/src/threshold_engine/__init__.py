"""An engine for napari-seg-trainer that learns one number: how bright an object is."""
