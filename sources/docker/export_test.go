package docker

// SetMaxBody lowers the size of an answer that is refused.
func SetMaxBody(s *Source, bytes int64) {
	for _, h := range s.hosts {
		h.maxBody = bytes
	}
}
