"""What all tasks stand on, knowing none of them."""
