"""GO'S MAPS, as the native core has them: its rules for each release, its sizes, and the face that Python sees."""
