module github.com/kourier-go/kourier/examples/nethttp

go 1.26

require (
	github.com/coder/websocket v1.8.15
	github.com/kourier-go/kourier v0.0.0
	github.com/stretchr/testify v1.11.1
)

require (
	github.com/davecgh/go-spew v1.1.1 // indirect
	github.com/mattn/go-pointer v0.0.1 // indirect
	github.com/pmezard/go-difflib v1.0.0 // indirect
	gopkg.in/yaml.v3 v3.0.1 // indirect
)

replace github.com/kourier-go/kourier => ../..
