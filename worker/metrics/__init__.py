"""What the process tells of itself: metrics, health, how it stands, and the line of figures in its log."""
