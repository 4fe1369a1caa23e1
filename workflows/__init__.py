"""What happens next: the loop, the driver, campaigns and the command line."""
