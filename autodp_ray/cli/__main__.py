"""`python -m autodp_ray.cli`, which is how a submitted job starts it."""

from autodp_ray.cli.main import main

if __name__ == "__main__":
    main()
