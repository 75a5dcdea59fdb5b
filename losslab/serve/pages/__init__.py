"""One file for each page: what it reads, and what it hands to its template."""
