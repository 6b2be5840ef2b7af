"""Images for the cluster's containers, made from programs and Debian packages; nothing is pulled."""
