// SPDX-License-Identifier: Apache-2.0
#include "prompt/dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <string>

#include "base/error.h"
#include "base/files.h"
#include "prompt/data_url.h"

namespace ingot {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
namespace fs = std::filesystem;

const fs::path kData = INGOT_TEST_DATA;

class DatasetTest : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = testing::TempDir() + "ingot_dataset_" +
           testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(dir_);
    fs::create_directories(dir_ / "images");
    for (const char* name : {"b.png", "a.PNG", "B.png"}) {
      fs::copy_file(kData / "prompt/pictures/small.png", dir_ / "images" / name);
    }
  }
  void TearDown() override { fs::remove_all(dir_); }
  fs::path Write(const std::string& name, const std::string& text) const {
    std::ofstream(dir_ / name, std::ios::binary) << text;
    return dir_ / name;
  }
  // The conversations of one record, as "role:text|<picture name>" pieces.
  std::string Spelled(const Sample& sample) const {
    std::string out;
    for (const Message& message : sample.conversation) {
      out += "[" + message.role;
      for (const Part& part : message.parts) {
        out += part.kind == Part::Kind::kText    ? " '" + part.text + "'"
               : part.kind == Part::Kind::kImage ? " <" + part.path.filename().string() + ">"
                                                 : " {" + part.path.filename().string() + "}";
      }
      out += "]";
    }
    return out;
  }
  std::string Line(const std::string& record) const {
    const Dataset dataset = LoadMessageLines(Write("x.jsonl", record));
    return dataset.samples.empty() ? "" : Spelled(dataset.samples[0]);
  }
  std::string Problem(const std::string& record) const {
    const std::string good = R"({"question": "good"})";
    const Dataset dataset = LoadMessageLines(Write("x.jsonl", good + "\n" + record + "\n"));
    EXPECT_EQ(dataset.samples.size(), 1u) << record;
    return dataset.problems.empty() ? "none"
                                    : dataset.problems[0].where + ": " + dataset.problems[0].what;
  }
  fs::path dir_;
};

std::string MessageOf(const std::function<void()>& body) {
  try {
    body();
  } catch (const UserError& error) {
    return error.what();
  }
  return "no error";
}

TEST_F(DatasetTest, FolderIsSortedBytewise) {
  Write("images/notes.txt", "not a picture");
  Write("images/.hidden.png", "no");
  Write("images/broken.jpg", "not a picture");
  const Dataset dataset = LoadDataset(dir_ / "images");
  std::vector<std::string> ids;
  for (const Sample& sample : dataset.samples) ids.push_back(sample.id);
  EXPECT_THAT(ids, ElementsAre("B.png", "a.PNG", "b.png"));
  EXPECT_EQ(Spelled(dataset.samples[1]),
            "[user <a.PNG> 'Please describe this picture in detail.']");
  ASSERT_EQ(dataset.problems.size(), 1u);
  EXPECT_THAT(dataset.problems[0].where, HasSubstr("broken.jpg"));
  EXPECT_THAT(dataset.description, HasSubstr("3 pictures"));
  EXPECT_EQ(LoadDataset(dir_ / "images", {.question = "What?", .max_samples = 2}).samples.size(),
            2u);
  EXPECT_THAT(MessageOf([&] { LoadDataset(dir_); }), HasSubstr("no pictures found"));
  EXPECT_THAT(MessageOf([&] { LoadDataset(dir_ / "absent"); }),
              HasSubstr("no such file or folder"));
}

TEST_F(DatasetTest, TextVqa) {
  const fs::path path = Write("vqa.json", R"({"dataset_name": "textvqa", "data": [
    {"question": "q1", "image_id": "a", "question_id": 7, "answers": ["x", "y"]},
    {"question": "q2", "image_id": "zzz", "question_id": 8, "answers": []},
    {"question": "q3", "image_id": "b", "question_id": 7},
    {"question": 3, "image_id": "b", "question_id": 9}, 5,
    {"question": "q4", "image_id": "../b", "question_id": 10},
    {"question": "q5", "image_id": "b.png", "question_id": "k"}]})");
  const Dataset dataset = LoadDataset(path);
  ASSERT_EQ(dataset.samples.size(), 2u);
  EXPECT_EQ(dataset.samples[0].id, "7");
  EXPECT_EQ(Spelled(dataset.samples[0]), "[user <a.PNG> 'q1']");
  EXPECT_THAT(dataset.samples[0].answers, ElementsAre("x", "y"));
  EXPECT_EQ(dataset.samples[1].id, "k");
  std::vector<std::string> problems;
  for (const DatasetProblem& problem : dataset.problems)
    problems.push_back(problem.where + " " + problem.what);
  EXPECT_THAT(
      problems,
      ElementsAre(HasSubstr("data[1] no picture named \"zzz\""),
                  HasSubstr("data[2] the id \"7\" was used"), HasSubstr("data[3] without"),
                  HasSubstr("data[4] not a JSON object"), HasSubstr("no picture named \"../b\"")));
  EXPECT_THAT(MessageOf([&] { RequireNoProblems(dataset); }), HasSubstr("5 problem(s)"));
  fs::copy_file(dir_ / "images/b.png", dir_ / "images/b.jpg");
  EXPECT_THAT(LoadDataset(path).problems.back().what, HasSubstr("no picture named"));
  EXPECT_THAT(MessageOf([&] { LoadTextVqa(Write("y.json", "{}")); }),
              HasSubstr("not TextVQA's layout"));
  EXPECT_THAT(MessageOf([&] { LoadDataset(Write("z.json", "{\"data\": 3}")); }),
              HasSubstr("neither"));
  EXPECT_THAT(MessageOf([&] { LoadDataset(Write("w.json", "{")); }), HasSubstr("not valid JSON"));
}

TEST_F(DatasetTest, TwoPicturesOfOneNameAreAmbiguous) {
  fs::copy_file(dir_ / "images/b.png", dir_ / "images/b.jpg");
  const fs::path path = Write(
      "vqa.json",
      R"({"data": [{"question": "q", "image_id": "b"}, {"question": "q", "image_id": "a"}]})");
  EXPECT_THAT(LoadDataset(path).problems[0].what, HasSubstr("b.jpg and b.png"));
}

TEST_F(DatasetTest, RecordForms) {
  EXPECT_EQ(
      Line(
          R"({"messages": [{"role": "user", "content": [{"type": "image", "image": "images/b.png"}, {"type": "text", "text": "t"}]}]})"),
      "[user <b.png> 't']");
  EXPECT_EQ(
      Line(
          R"({"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": [{"type": "text", "text": "t"}, {"type": "image_url", "image_url": {"url": "images/b.png"}}, {"image": "images/a.PNG"}]}]})"),
      "[system 's'][user 't' <b.png> <a.PNG>]");
  EXPECT_EQ(
      Line(
          R"({"messages": [{"role": "user", "content": "a<image>b<image>"}], "images": ["images/b.png", "images/a.PNG"]})"),
      "[user 'a' <b.png> 'b' <a.PNG>]");
  EXPECT_EQ(Line(R"({"messages": [{"role": "user", "content": "tag <image> stays"}]})"),
            "[user 'tag <image> stays']");
  EXPECT_EQ(
      Line(
          R"({"image": "images/b.png", "conversations": [{"from": "human", "value": "<image>\nq"}, {"from": "gpt", "value": "a"}]})"),
      "[user <b.png> '\nq']");
  EXPECT_EQ(Line(R"({"question": "q", "image": "images/b.png"})"), "[user <b.png> 'q']");
  EXPECT_EQ(Line(R"({"question": "only text"})"), "[user 'only text']");
  EXPECT_EQ(Line(R"({"question": "q", "videos": [["images/a.PNG", "images/b.png"]]})"),
            "[user {a.PNG} 'q']");
}

TEST_F(DatasetTest, AnswersIdsAndLines) {
  const Dataset dataset = LoadDataset(
      Write("x.jsonl",
            "\xef\xbb\xbf{\"id\": 0, \"question\": \"a\", \"answer\": \"1\"}\r\n\n"
            "{\"question\": \"b\", \"answers\": [\"1\", {\"answer\": \"2\"}]}\n"
            "{\"messages\": [{\"role\": \"user\", \"content\": \"c\"}, {\"role\": \"assistant\", "
            "\"content\": \"3\"}]}\n"
            "{\"messages\": [{\"role\": \"user\", \"content\": \"d\"}, {\"role\": \"assistant\", "
            "\"content\": null, "
            "\"tool_calls\": [{\"x\": 1.0}]}, {\"role\": \"tool\", \"content\": \"r\"}]}"));
  ASSERT_EQ(dataset.samples.size(), 4u);
  EXPECT_EQ(dataset.samples[0].id, "0");
  EXPECT_THAT(dataset.samples[0].answers, ElementsAre("1"));
  EXPECT_EQ(dataset.samples[1].id, "x.jsonl:3");
  EXPECT_THAT(dataset.samples[1].answers, ElementsAre("1", "2"));
  EXPECT_THAT(dataset.samples[2].answers, ElementsAre("3"));
  EXPECT_EQ(Spelled(dataset.samples[2]), "[user 'c']");
  EXPECT_EQ(dataset.samples[3].conversation[1].extra_json, R"({"tool_calls":[{"x":1.0}]})");
}

TEST_F(DatasetTest, BadLinesAreListedWithTheirNumbers) {
  EXPECT_THAT(Problem("{"), HasSubstr("x.jsonl:2: not valid JSON"));
  EXPECT_THAT(Problem("3"), HasSubstr("expected a JSON object"));
  EXPECT_THAT(Problem("{}"), HasSubstr("none of"));
  EXPECT_THAT(Problem(R"({"messages": []})"), HasSubstr("empty"));
  EXPECT_THAT(Problem(R"({"messages": [{"role": "user"}, {"role": "system", "content": "x"}]})"),
              HasSubstr("end with a user turn"));
  EXPECT_THAT(Problem(R"({"messages": [{"role": "assistant", "content": "x"}]})"),
              HasSubstr("end with a user turn"));
  EXPECT_THAT(Problem(R"({"messages": [{"content": "x"}]})"), HasSubstr("without \"role\""));
  EXPECT_THAT(Problem(R"({"messages": [{"role": "user", "content": ["x"]}]})"),
              HasSubstr("expected an object"));
  EXPECT_THAT(
      Problem(R"({"messages": [{"role": "user", "content": [{"type": "audio", "audio": "x"}]}]})"),
      HasSubstr("\"audio\""));
  EXPECT_THAT(Problem(R"({"question": "q", "image": "images/none.png"})"),
              HasSubstr("none.png does not exist"));
  EXPECT_THAT(Problem(R"({"question": "q", "image": "images"})"), HasSubstr("is no file"));
  EXPECT_THAT(Problem(R"({"question": "q", "image": "x.jsonl"})"), HasSubstr("is no JPEG"));
  EXPECT_THAT(Problem(R"({"question": "q", "image": "https://example.com/a.png"})"),
              HasSubstr("from disk only"));
  EXPECT_THAT(Problem(R"({"question": "q", "image": "data:image/png;base64,?"})"),
              HasSubstr("base64"));
  EXPECT_THAT(Problem(R"({"question": "<image><image>", "image": "images/b.png"})"),
              HasSubstr("2 <image> marks"));
  EXPECT_THAT(Problem(R"({"question": "q", "video": "none.mp4"})"),
              HasSubstr("none.mp4 does not exist"));
  EXPECT_THAT(Problem(R"({"question": "q", "id": 1.5})"), HasSubstr("id is a number"));
  EXPECT_THAT(Problem(R"({"question": "q", "id": "x.jsonl:1"})"), HasSubstr("was used before"));
  EXPECT_THAT(MessageOf([&] { LoadDataset(Write("all_bad.jsonl", "{}\n{}\n")); }),
              HasSubstr("all_bad.jsonl:2"));
  EXPECT_THAT(MessageOf([&] { LoadDataset(Write("empty.jsonl", "\n")); }),
              HasSubstr("no conversations found"));
  EXPECT_THAT(MessageOf([&] { LoadDataset(Write("x.csv", "a,b")); }),
              HasSubstr("expected a folder"));
}

TEST_F(DatasetTest, ArraysAndOtherFolders) {
  EXPECT_EQ(
      LoadDataset(Write("list.json", R"([{"question": "a"}, {"question": "b"}])")).samples.size(),
      2u);
  fs::create_directories(dir_ / "elsewhere");
  fs::rename(dir_ / "images/b.png", dir_ / "elsewhere/c.png");
  const Dataset dataset = LoadDataset(Write("m.jsonl", R"({"question": "q", "image": "c.png"})"),
                                      {.images = dir_ / "elsewhere"});
  EXPECT_EQ(dataset.samples[0].conversation[0].parts[0].path, dir_ / "elsewhere/c.png");
}

TEST_F(DatasetTest, BundledSets) {
  for (const char* file : {"calib64/messages.jsonl", "calib64/textvqa.json", "calib64/images"}) {
    const Dataset dataset = LoadDataset(kData / file);
    EXPECT_EQ(dataset.samples.size(), 64u) << file;
    EXPECT_TRUE(dataset.problems.empty()) << file;
  }
}

TEST(DataUrl, Base64) {
  std::string bytes;
  EXPECT_TRUE(DecodeBase64("aGVsbG8=", &bytes));
  EXPECT_EQ(bytes, "hello");
  EXPECT_TRUE(DecodeBase64("aGVs\nbG8", &bytes));
  EXPECT_EQ(bytes, "hello");
  EXPECT_TRUE(DecodeBase64("", &bytes));
  for (const char* bad : {"a", "aGVsbG8==", "aG=VsbG8", "aGVsbG9", "!", "===="})
    EXPECT_FALSE(DecodeBase64(bad, &bytes)) << bad;
  EXPECT_TRUE(DecodeDataUrl("data:image/png;base64,aGVsbG8=", &bytes));
  EXPECT_FALSE(DecodeDataUrl("data:image/png,aGVsbG8=", &bytes));
  EXPECT_FALSE(DecodeDataUrl("data:image/png;base64", &bytes));
}

}  // namespace
}  // namespace ingot
