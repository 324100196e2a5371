// Placeholder, until the module's first file is here.
