"""What a file weighs when it is compressed."""
