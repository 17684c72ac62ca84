"""What training leaves on disk, and what is made of it. Worker process; imports torch."""
