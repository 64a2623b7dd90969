"""Families of classifiers that are no networks, a file each: what one says at points, and where it ends along rays, exactly."""
