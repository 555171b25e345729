"""The .tflite file: verified, read, its weights as numbers, patched in place."""
