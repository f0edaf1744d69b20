"""How an application is hosted on Ray Serve and shared by the runs of a cluster."""
