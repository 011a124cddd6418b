// SPDX-License-Identifier: Apache-2.0
// The question being written: text, pictures, send and stop.
import type { RefObject } from "preact";
import { useRef } from "preact/hooks";
import { useText } from "./i18n";
import { Icon } from "./icons";
import type { Picture } from "./types";
import { GrowingArea, IconButton, Thumbnails } from "./widgets";

export interface Draft {
  text: string;
  pictures: Picture[];
}

interface Props {
  draft: Draft;
  reading: number; // pictures being decoded
  notice: string;
  busy: boolean;
  ready: boolean;
  area: RefObject<HTMLTextAreaElement | null>;
  onDraft: (draft: Draft) => void;
  onFiles: (files: File[]) => void;
  onSend: () => void;
  onStop: () => void;
  onDismiss: () => void;
  onEditLast: () => void;
}

export function Composer(props: Props) {
  const {
    draft,
    reading,
    notice,
    busy,
    ready,
    area,
    onDraft,
    onFiles,
    onSend,
    onStop,
    onDismiss,
    onEditLast,
  } = props;
  const t = useText();
  const files = useRef<HTMLInputElement>(null);
  const empty = draft.text.trim() === "" && draft.pictures.length === 0;
  const canSend = ready && !busy && !empty && reading === 0;
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "ArrowUp" && draft.text === "" && draft.pictures.length === 0) {
      event.preventDefault();
      onEditLast();
    }
  };
  return (
    <div class="composer-wrap">
      {notice !== "" && (
        <div class="notice bad slim" role="alert">
          <Icon name="warning" />
          <p>{notice}</p>
          <IconButton icon="close" label={t("dismiss")} onClick={onDismiss} />
        </div>
      )}
      <form
        class="composer"
        onSubmit={(event) => {
          event.preventDefault();
          if (canSend) onSend();
        }}
      >
        <Thumbnails
          pictures={draft.pictures}
          onRemove={(id) => {
            onDraft({ ...draft, pictures: draft.pictures.filter((p) => p.id !== id) });
            area.current?.focus();
          }}
        />
        {reading > 0 && (
          <p class="muted reading" role="status">
            {t("reading")}
          </p>
        )}
        <GrowingArea
          area={area}
          id="question"
          value={draft.text}
          label={t("question")}
          placeholder={t("placeholder")}
          enterkeyhint="send"
          onText={(text) => onDraft({ ...draft, text })}
          onEnter={() => canSend && onSend()}
          onKeyDown={onKeyDown as never}
        />
        <div class="composer-foot">
          <input
            ref={files}
            type="file"
            accept="image/*"
            multiple
            hidden
            onChange={(event) => {
              onFiles([...(event.currentTarget.files ?? [])]);
              event.currentTarget.value = "";
            }}
          />
          <IconButton icon="picture" label={t("attach")} onClick={() => files.current?.click()} />
          <span class="keys">{t("keys")}</span>
          {busy ? (
            <button
              type="button"
              class="round"
              aria-label={t("stop")}
              title={`${t("stop")} (Esc)`}
              onClick={onStop}
            >
              <Icon name="stop" />
            </button>
          ) : (
            <button
              type="submit"
              class="round"
              aria-label={t("send")}
              title={t("send")}
              disabled={!canSend}
            >
              <Icon name="send" />
            </button>
          )}
        </div>
      </form>
    </div>
  );
}
