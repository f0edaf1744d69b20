"""The nodes of a Ray cluster, and the process that is kept between passes."""
