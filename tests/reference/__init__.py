"""What each operator means, in numpy on top of mxq.arithmetic.qmath."""
