// The YAML editor: CodeMirror made on mount, told of new text and errors, destroyed on unmount.

import { useEffect, useRef } from 'react';
import type { FileError } from '../api/client';
import { FileEditor } from './fileEditor';

interface Props {
  text: string;
  onChange: (text: string) => void;
  errors: readonly FileError[];
}

export function Editor({ text, onChange, errors }: Props) {
  const root = useRef<HTMLDivElement>(null);
  const editor = useRef<FileEditor>(null);
  const change = useRef(onChange);
  useEffect(() => {
    change.current = onChange;
  }, [onChange]);
  useEffect(() => {
    if (!root.current) return undefined;
    const made = new FileEditor(root.current, (typed) => change.current(typed));
    editor.current = made;
    return () => {
      made.destroy();
      editor.current = null;
    };
  }, []);
  useEffect(() => editor.current?.show(text), [text]);
  useEffect(() => editor.current?.mark(errors), [errors]);
  return <div ref={root} className="editor panel" />;
}
