/** What a model may do on the web: read a page, and search where the owner set a service up. */
import type { OwnTool } from "../tools/tool.ts";
import { type FetchOptions, fetchTool } from "./fetch.ts";
import { type Search, searchTool } from "./search.ts";

export interface WebOptions extends FetchOptions {
  readonly search: Search | undefined;
}

export const webTools = ({ search, ...options }: WebOptions): OwnTool[] => [
  fetchTool(options),
  ...(search ? [searchTool({ search, egress: options.egress })] : []),
];
