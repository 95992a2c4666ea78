package file

import (
	"context"

	"nitrox/sources"
)

type Config struct{}
type Query struct{}
type Source struct{}

func Open(Config) (*Source, error) { return &Source{}, nil }
func (s *Source) Poll(ctx context.Context, queries []Query, fresh bool) ([]sources.Answer, error) {
	return nil, nil
}
