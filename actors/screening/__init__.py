"""The screener F(x): features, both backbones, Serve application and client."""
