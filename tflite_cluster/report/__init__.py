"""Results for people and for programs: the terminal table and the JSON report."""
