//! An answer is repeated for as long as its pod lives, and must stay true meanwhile. Here the machine
//! is a simulated one, but for what containers are given: that lies on this machine's disk, put there
//! by the same code as on a node.
