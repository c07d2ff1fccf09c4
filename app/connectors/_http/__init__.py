"""One HTTP request for each lead, and its answer read: for every connector type whose destinations are reached so."""
