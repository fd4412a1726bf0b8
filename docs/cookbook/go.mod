module cookbook

go 1.21
