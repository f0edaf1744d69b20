"""Files on local disks and URIs, and the small stores that are built on them."""
