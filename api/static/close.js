// Close the window of a consent that is done. A browser allows it only where a script opened the window; elsewhere the page stays and says so.
setTimeout(() => window.close(), 1500);
