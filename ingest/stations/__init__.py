"""The listener for SL 651-2014 stations over TCP: sockets → line → post → inbox → COMMIT → acknowledgement."""
