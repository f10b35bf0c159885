"""The skill bank and its job runner. Knows skills, specs and jobs; never imports torch or stgcn."""
