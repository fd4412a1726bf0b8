module allocate

go 1.21
