// SPDX-License-Identifier: Apache-2.0
// Line drawings on a grid of 24, drawn with the colour of the text around them.
import type { ComponentChildren } from "preact";

const paths: Record<string, ComponentChildren> = {
  plus: <path d="M12 5v14M5 12h14" />,
  pencil: <path d="M4 20h4L19 9a2.8 2.8 0 0 0-4-4L4 16zM13.5 6.5l4 4" />,
  download: <path d="M12 4v11M7.5 10.5 12 15l4.5-4.5M5 20h14" />,
  sliders: <path d="M4 7h9M17 7h3M4 17h3M11 17h9M15 4.5v5M9 14.5v5" />,
  sun: (
    <path d="M12 8a4 4 0 1 1 0 8 4 4 0 0 1 0-8M12 2.5v2M12 19.5v2M2.5 12h2M19.5 12h2M5.3 5.3l1.4 1.4M17.3 17.3l1.4 1.4M5.3 18.7l1.4-1.4M17.3 6.7l1.4-1.4" />
  ),
  moon: <path d="M20 14.2A8.2 8.2 0 0 1 9.8 4 8.2 8.2 0 1 0 20 14.2z" />,
  halfMoon: (
    <>
      <circle cx="12" cy="12" r="8.2" />
      <path d="M12 3.8a8.2 8.2 0 0 1 0 16.4z" fill="currentColor" />
    </>
  ),
  globe: (
    <path d="M12 3.5a8.5 8.5 0 1 1 0 17 8.5 8.5 0 0 1 0-17M3.5 12h17M12 3.5c5 5.2 5 11.8 0 17M12 3.5c-5 5.2-5 11.8 0 17" />
  ),
  picture: (
    <path d="M5 4.5h14a1.5 1.5 0 0 1 1.5 1.5v12a1.5 1.5 0 0 1-1.5 1.5H5A1.5 1.5 0 0 1 3.5 18V6A1.5 1.5 0 0 1 5 4.5M4 17l5-5 4 4 2.5-2.5L20 18M15.5 8.2v.01" />
  ),
  send: <path d="M12 19V5M5.5 11.5 12 5l6.5 6.5" />,
  stop: <rect x="7" y="7" width="10" height="10" rx="1.5" fill="currentColor" />,
  copy: (
    <path d="M9 9h9.5a1 1 0 0 1 1 1v9.5a1 1 0 0 1-1 1H10a1 1 0 0 1-1-1zM15.5 9V4.5a1 1 0 0 0-1-1H5a1 1 0 0 0-1 1V14a1 1 0 0 0 1 1h4" />
  ),
  check: <path d="m5 12.5 4.5 4.5L19 7.5" />,
  again: <path d="M19.5 12a7.5 7.5 0 1 1-2.3-5.4L19.5 9M19.5 4v5h-5" />,
  close: <path d="m6 6 12 12M18 6 6 18" />,
  left: <path d="m14.5 6-6 6 6 6" />,
  right: <path d="m9.5 6 6 6-6 6" />,
  down: <path d="M12 5v14M5.5 12.5 12 19l6.5-6.5" />,
  warning: <path d="M12 4 2.8 19.5h18.4zM12 10v4.5M12 17v.01" />,
  key: <path d="M8 11.5a4 4 0 1 1 0 8 4 4 0 0 1 0-8M11 13l8-8.5M16 7.5l2.5 2.5M18.5 5l1.5 1.5" />,
  info: <path d="M12 3.5a8.5 8.5 0 1 1 0 17 8.5 8.5 0 0 1 0-17M12 11v5.5M12 7.6v.01" />,
  document: <path d="M6.5 3.5h8l4 4v13h-12zM14 3.5V8h4.5M9.5 12.5h6M9.5 16h6" />,
  table: <path d="M4.5 5h15v14h-15zM4.5 10h15M4.5 14.5h15M10 5v14" />,
  idea: (
    <path d="M9.5 18h5M10 21h4M8.8 15.2a6 6 0 1 1 6.4 0c-.5.4-.7.8-.7 1.3V18h-5v-1.5c0-.5-.2-.9-.7-1.3" />
  ),
};

export function Icon({ name }: { name: keyof typeof paths & string }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      {paths[name]}
    </svg>
  );
}

export function Logo() {
  return (
    <svg class="logo" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
      <path class="logo-body" d="M9 8h14l6 16H3z" />
      <path class="logo-top" d="M9 8h14l2 5.3H7z" />
    </svg>
  );
}
