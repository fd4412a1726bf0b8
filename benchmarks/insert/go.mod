module insert

go 1.21
