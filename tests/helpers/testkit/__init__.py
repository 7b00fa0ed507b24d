"""What tests of several folders share; on the path of all of them."""
