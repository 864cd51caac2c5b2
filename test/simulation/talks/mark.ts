/** Whose words these are, and which: `home.17`. */
export const MARK = /\b([a-z]+\d*)\.(\d+)/g;

export const marksIn = (text: string): string[] => [...text.matchAll(MARK)].map(([mark]) => mark);
