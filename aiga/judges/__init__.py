"""Who says what is alike, interesting or good: a judge is an async function."""
