"""Better training images and a mended classifier."""
