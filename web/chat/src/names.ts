// SPDX-License-Identifier: Apache-2.0
// Models are called by the path of their folder unless somebody named them: the last part is enough
// for people, where it tells them apart.

const lastPart = (name: string): string => name.replace(/\/+$/, "").split("/").pop() || name;

export function shortName(name: string, all: string[]): string {
  const alike = all.filter((other) => lastPart(other) === lastPart(name));
  return alike.length > 1 ? name : lastPart(name);
}
