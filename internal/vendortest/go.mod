module github.com/kourier-go/kourier/internal/vendortest

go 1.26

require github.com/kourier-go/kourier v0.0.0

require github.com/mattn/go-pointer v0.0.1 // indirect

replace github.com/kourier-go/kourier => ../..
