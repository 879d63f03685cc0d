"""What people look at: plots, and later whole reports."""
