package netscaler

// Spare is a decision that a table tests by itself.
var Spare = spare
