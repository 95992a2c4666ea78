module github.com/docker/leadership

go 1.16

require github.com/docker/libkv v0.2.1
