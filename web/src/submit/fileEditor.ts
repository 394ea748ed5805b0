// CodeMirror with what a sweep file needs and no more.

import { defaultKeymap, history, historyKeymap, indentWithTab } from '@codemirror/commands';
import { yaml } from '@codemirror/lang-yaml';
import { bracketMatching, HighlightStyle, indentOnInput, syntaxHighlighting } from '@codemirror/language';
import { lintGutter, lintKeymap, setDiagnostics, type Diagnostic } from '@codemirror/lint';
import { EditorState } from '@codemirror/state';
import { drawSelection, EditorView, highlightActiveLine, keymap, lineNumbers } from '@codemirror/view';
import { tags } from '@lezer/highlight';
import type { FileError } from '../api/client';

const COLORS = HighlightStyle.define([
  { tag: tags.comment, class: 'yaml-comment' },
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], class: 'yaml-key' },
  { tag: [tags.number, tags.bool], class: 'yaml-number' },
  { tag: [tags.string, tags.content], class: 'yaml-text' },
]);

export class FileEditor {
  readonly #view: EditorView;

  constructor(root: HTMLElement, tell: (text: string) => void) {
    const extensions = [
      lineNumbers(),
      lintGutter(),
      history(),
      drawSelection(),
      indentOnInput(),
      bracketMatching(),
      highlightActiveLine(),
      syntaxHighlighting(COLORS),
      yaml(),
      // Tab indents; Escape and then Tab leaves, for those without a pointer
      keymap.of([...defaultKeymap, ...historyKeymap, ...lintKeymap, indentWithTab]),
      EditorState.tabSize.of(2),
      EditorView.contentAttributes.of({ 'aria-label': 'Sweep file' }),
      EditorView.updateListener.of((update) => {
        if (update.docChanged) tell(update.state.doc.toString());
      }),
    ];
    this.#view = new EditorView({ parent: root, extensions });
  }

  destroy(): void {
    this.#view.destroy();
  }

  /** Text from elsewhere; what was typed here comes back and changes nothing. */
  show(text: string): void {
    const { doc } = this.#view.state;
    if (doc.toString() === text) return;
    this.#view.dispatch({ changes: { from: 0, to: doc.length, insert: text } });
  }

  mark(errors: readonly FileError[]): void {
    const marks = errors.map((error) => this.#diagnostic(error));
    this.#view.dispatch(setDiagnostics(this.#view.state, marks));
  }

  #diagnostic({ line, column, message }: FileError): Diagnostic {
    const { doc } = this.#view.state;
    // line 0 is the file as a whole; a line may be gone since the file was checked
    const at = doc.line(Math.min(Math.max(line, 1), doc.lines));
    const from = Math.min(at.from + Math.max(column - 1, 0), at.to);
    const word = /^[^\s,:{}[\]]+/.exec(doc.sliceString(from, at.to));
    const to = Math.max(from + (word?.[0].length ?? 0), Math.min(from + 1, at.to));
    return { from, to, severity: 'error', message };
  }
}
