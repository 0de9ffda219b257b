// Checks which fields a template uses.

package key

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"
)

// checker collects the fields of a template, including those in branches that a trial run does not
// take.
type checker struct {
	used map[string]bool
}

// fieldsOf returns the fields of the template, or an error for an unknown one, for none at all, and
// for unsupported constructs: loops and nested templates.
func fieldsOf(t *template.Template) ([]string, error) {
	c := checker{used: map[string]bool{}}
	if len(t.Templates()) > 1 {
		return nil, errors.New("define and block are not allowed in a path template")
	}
	if err := c.list(t.Root, false); err != nil {
		return nil, err
	}
	if len(c.used) == 0 {
		return nil, errors.New("every recording would get the same name: use a field such as {{.filename}}")
	}
	delete(c.used, callDate)
	return slices.Sorted(maps.Keys(c.used)), nil
}

// list checks the nodes of a list. within says that the dot is a value, inside {{with}}.
func (c *checker) list(list *parse.ListNode, within bool) error {
	if list == nil {
		return nil
	}
	for _, node := range list.Nodes {
		if err := c.node(node, within); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) node(node parse.Node, within bool) error {
	switch n := node.(type) {
	case *parse.TextNode, *parse.CommentNode:
		return nil
	case *parse.ActionNode:
		return c.pipe(n.Pipe, within)
	case *parse.IfNode:
		return c.branch(&n.BranchNode, within, within)
	case *parse.WithNode:
		return c.branch(&n.BranchNode, within, true)
	}
	return fmt.Errorf("%s is not allowed in a path template", node)
}

func (c *checker) branch(n *parse.BranchNode, within, inside bool) error {
	return errors.Join(c.pipe(n.Pipe, within), c.list(n.List, inside), c.list(n.ElseList, within))
}

func (c *checker) pipe(pipe *parse.PipeNode, within bool) error {
	for _, command := range pipe.Cmds {
		for _, argument := range command.Args {
			if err := c.argument(argument, within); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *checker) argument(node parse.Node, within bool) error {
	switch n := node.(type) {
	case *parse.PipeNode:
		return c.pipe(n, within)
	case *parse.ChainNode:
		return c.argument(n.Node, within)
	case *parse.FieldNode:
		return c.field(n.Ident, within)
	case *parse.VariableNode:
		if n.Ident[0] == "$" {
			return c.field(n.Ident[1:], false)
		}
	case *parse.DotNode:
		if !within {
			return errors.New("{{.}} names no field: use one such as {{.filename}}")
		}
	}
	return nil
}

// field checks a field with its methods: {{.call_date.Format}} is both.
func (c *checker) field(path []string, within bool) error {
	const method = "Format"
	switch {
	case len(path) == 0:
		return errors.New("{{$}} names no field: use one such as {{.filename}}")
	case within && len(path) == 1 && path[0] == method:
		return nil // the dot is a time
	case path[0] == "public_url" || path[0] == "src":
		return fmt.Errorf("field %s is a secret link and cannot be part of a file name", path[0])
	case !slices.Contains(fieldNames(), path[0]):
		return fmt.Errorf("unknown field %s; the fields are %s", path[0], strings.Join(slices.Sorted(slices.Values(fieldNames())), ", "))
	case len(path) > 1 && (path[0] != callDate || len(path) > 2 || path[1] != method && path[1] != "String"):
		return fmt.Errorf("field %s has no %s", path[0], strings.Join(path[1:], "."))
	}
	c.used[path[0]] = true
	return nil
}
